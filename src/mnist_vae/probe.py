"""How much of the classes a representation holds: accuracy of simple classifiers on top of it."""

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

THREADS = 2  # whatever the machine has: the last bits depend on their number


def predictions(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, neighbours: int
) -> dict[str, np.ndarray]:
    """Classes (M,) of the test vectors (M, L) by each classifier, fitted on train (N, L).

    knn: majority of the nearest `neighbours` (Euclidean distance), or of all if there are fewer.
    linear_probe: logistic regression on standardised units, its L2 penalty 1 / (2 N) per squared
    weight (scikit-learn's C = 1).
    """
    models = {
        "knn": KNeighborsClassifier(min(neighbours, len(train))),
        "linear_probe": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }
    with threadpool_limits(THREADS):
        return {
            name: model.fit(train, train_labels).predict(test) for name, model in models.items()
        }


def accuracies(predicted: Mapping[str, np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Part of the test vectors that each classifier of `predictions` gets right."""
    return {
        f"test_{name}_accuracy": float((classes == labels).mean())
        for name, classes in predicted.items()
    }
