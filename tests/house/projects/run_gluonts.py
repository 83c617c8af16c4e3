"""GluonTS: two estimators learn made-up series and say what comes next."""
from __future__ import annotations

import tempfile
from pathlib import Path

import mxnet
import numpy as np
from gluonts.dataset.common import ListDataset
from gluonts.evaluation import Evaluator
from gluonts.evaluation.backtest import make_evaluation_predictions
from gluonts.model.predictor import Predictor
from gluonts.mx.distribution import GaussianOutput
from gluonts.mx.model.deepar import DeepAREstimator
from gluonts.mx.model.simple_feedforward import SimpleFeedForwardEstimator
from gluonts.mx.trainer import Trainer
from gluonts.mx.trainer.callback import TrainingHistory

STEPS = 6
days = np.arange(200)
series = [10 + 5 * np.sin(2 * np.pi * days / 7 + phase)
          for phase in range(4)]
data = ListDataset([{"start": "2020-01-01", "target": each.astype("float32")}
                    for each in series], freq="D")


def samples(predictor):
    """Forecasts of each series, from the same random numbers each time."""
    mxnet.random.seed(1)
    np.random.seed(1)
    forecasts, actual = make_evaluation_predictions(
        data, predictor=predictor, num_samples=20)
    return list(forecasts), list(actual)


for estimator, options, epochs in (
        (DeepAREstimator, {"freq": "D", "num_cells": 8}, 4),
        (SimpleFeedForwardEstimator, {"num_hidden_dimensions": [16]}, 6)):
    mxnet.random.seed(0)
    np.random.seed(0)
    history = TrainingHistory()
    predictor = estimator(
        prediction_length=STEPS, context_length=21,
        distr_output=GaussianOutput(), trainer=Trainer(
            epochs=epochs, num_batches_per_epoch=10, learning_rate=1e-2,
            callbacks=[history]), **options).train(data)
    losses = history.loss_history
    assert len(losses) == epochs and losses[-1] < losses[0] - 0.3, losses

    forecasts, actual = samples(predictor)
    assert len(forecasts) == 4
    for forecast, known in zip(forecasts, actual):
        assert forecast.samples.shape == (20, STEPS)
        assert np.isfinite(forecast.samples).all()
        assert forecast.index.equals(known.index[-STEPS:])
        assert (forecast.quantile(0.1) <= forecast.quantile(0.9)).all()
    scores, each = Evaluator(num_workers=0)(actual, forecasts)
    assert 0 < scores["mean_wQuantileLoss"] < 0.5, scores
    assert len(each) == 4

    with tempfile.TemporaryDirectory() as folder:
        predictor.serialize(Path(folder))
        again, _ = samples(Predictor.deserialize(Path(folder)))
    for one, other in zip(forecasts, again):
        assert np.array_equal(one.samples, other.samples)
    print(estimator.__name__, "loss", losses[0], "->", losses[-1])
