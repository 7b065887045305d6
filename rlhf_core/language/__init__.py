"""Language modelling: pretraining, and supervised fine-tuning with the prompt masked out."""
