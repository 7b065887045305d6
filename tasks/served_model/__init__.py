"""Models in MLflow: what a version holds, how it is registered, how it checks itself at load.

policy.py and reward.py are run by MLflow as models ("models from code") and imported by nobody;
they travel in each version with the code that they reach, hence load without this repository.
"""
