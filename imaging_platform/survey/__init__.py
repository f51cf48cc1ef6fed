"""What is made and what is out of date, asked of the event log and the stores."""
