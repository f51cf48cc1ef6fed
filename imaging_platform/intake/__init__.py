"""From a drop in the inbox to sessions in the identified zone, losing nothing."""
