"""What learns: rows and their scaling, the temperature-index model, Lasso, multilayer perceptron, and the bundle of them."""
