"""The words of instruction data: rules for questions and for answers, and how facts are said in them."""
