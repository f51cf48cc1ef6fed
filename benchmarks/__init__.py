"""What each stage and the orchestration cost, measured beside their floors."""
