"""What learns: rows and their scaling, the temperature-index model, Lasso, perceptron, and the bundle of them."""
