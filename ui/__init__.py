"""The desk: FastAPI and Gradio around the same engine as the command line."""
