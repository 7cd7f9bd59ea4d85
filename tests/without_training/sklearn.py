"""In front of the installed package on the path of a worker: as in the image, there is no scikit-learn.

XGBoost imports it wherever it is installed, which is most of the time that a worker takes to start.
"""

raise ImportError("scikit-learn is for training: workers do without it")
