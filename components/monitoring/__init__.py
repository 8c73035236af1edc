"""What a served model answered, and what came of it: the sealed log, truths told later, live quality."""
