"""Trains a small classifier of handwritten digits (scikit-learn's bundled ones), recorded by gitlumo.

python train.py --model mlp --lr 0.1 --epochs 10
"""

import argparse
import os
import signal

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, classification_report, log_loss, recall_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

import gitlumo

try:
    from augment import augment  # at hand while one is trying things
except ImportError:

    def augment(images, labels):
        return images, labels


BATCH = 64
CLASSES = np.arange(10)


def load(seed):
    images, labels = load_digits(return_X_y=True)
    return train_test_split(images / 16, labels, test_size=0.3, random_state=seed, stratify=labels)


def make(args):
    if args.model == "linear":
        return SGDClassifier(loss="log_loss", learning_rate="constant", eta0=args.lr, random_state=args.seed)
    if args.model == "mlp":
        return MLPClassifier((32,), solver="sgd", learning_rate_init=args.lr, random_state=args.seed)
    return GradientBoostingClassifier(
        learning_rate=args.lr, n_estimators=0, max_depth=2, max_features=8, warm_start=True, random_state=args.seed
    )


def train_epoch(model, images, labels, random):
    if not np.isfinite(images).all():
        raise ValueError("the images hold values that are no numbers")
    if isinstance(model, GradientBoostingClassifier):
        model.n_estimators += 1  # an epoch is one more tree for each class
        model.fit(images, labels)
        return
    order = random.permutation(len(images))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        model.partial_fit(images[batch], labels[batch], classes=CLASSES)


def train(args):
    hyper = {name: value for name, value in vars(args).items() if name not in ("fail_at", "die_at")}
    exp = gitlumo.start("digits", params=hyper)
    train_x, test_x, train_y, test_y = load(args.seed)
    images, labels = augment(train_x, train_y)
    model, random = make(args), np.random.default_rng(args.seed)
    for epoch in range(1, args.epochs + 1):
        if epoch == args.fail_at:
            images = np.full_like(images, np.nan)
        train_epoch(model, images, labels, random)
        loss = log_loss(train_y, model.predict_proba(train_x), labels=CLASSES)
        exp.log({"loss": loss, "acc": model.score(train_x, train_y)}, step=epoch)

        guess = model.predict(test_x)
        per_class = recall_score(test_y, guess, average=None, labels=CLASSES)
        best = exp.dump_metric("test_acc", accuracy_score(test_y, guess), "per_class", per_class, step=epoch)
        if epoch == args.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
    exp.dump_string("report", classification_report(test_y, guess))
    exp.dump_note(f"{args.model} reached {best:.3f} on the test digits")
    exp.end()


def baseline(args):
    """The five nearest neighbours: no epochs, one number."""
    with gitlumo.SimpleExperiment("digits-baseline") as exp:
        exp.dump_info("params", {"model": args.model, "seed": args.seed})
        train_x, test_x, train_y, test_y = load(args.seed)
        exp.dump_metric("test_acc", KNeighborsClassifier(5).fit(train_x, train_y).score(test_x, test_y))


def main():
    parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits.")
    parser.add_argument("--model", choices=["linear", "mlp", "boosting", "neighbours"], default="mlp")
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scan", help="a name for a series of runs, recorded as a parameter")
    parser.add_argument("--fail-at", type=int, metavar="EPOCH", help="get broken images in this epoch, and raise")
    parser.add_argument("--die-at", type=int, metavar="EPOCH", help="be killed (SIGKILL) at the end of this epoch")
    args = parser.parse_args()
    baseline(args) if args.model == "neighbours" else train(args)


if __name__ == "__main__":
    main()
