"""What nothing needs any more: a plan from plain values, by reachability. Nothing is read or removed here."""
