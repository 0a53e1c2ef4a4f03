"""``lf-registry publish``: a trained adapter or a merged model on the Hugging Face Hub, whole and verified."""
