"""The program that joins the two halves: command line, jobs, runs. It alone knows Hydra and W&B."""
