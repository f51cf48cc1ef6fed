"""The pipeline as software-defined assets: one module a stage, one factory a study."""
