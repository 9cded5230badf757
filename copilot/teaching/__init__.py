"""Teaching: the trainee commits first, the answer is revealed after; nothing of it enters the clinical record."""
