"""What the pipeline of a study is, as plain data: what is made, from what, by what."""
