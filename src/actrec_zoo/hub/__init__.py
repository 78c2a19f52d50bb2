"""Where trained models are kept: folders, the local store, the Hugging Face Hub."""
