"""Training: all members of all folds in one batched computation, and the verb that makes a model of features."""
