"""Sockeye: a small Transformer learns to say letters in capitals.

It is trained and asked by its own modules, sockeye.train and
sockeye.translate, each with the names that are gone put back.
"""
from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path


def sockeye(module, *options):
    """What a module of Sockeye prints, run in the folder."""
    done = subprocess.run(
        [sys.executable, "-m", "d2lzh_compat", "--names=sockeye", "-m",
         f"sockeye.{module}", "--use-cpu", *map(str, options)],
        cwd=folder, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)  # its own error is the last one
    return done.stdout


random.seed(0)
letters = "".join(random.choices("abcde", k=1200))
lines = [" ".join(letters[at:at + 2 + at % 5])
         for at in range(0, len(letters) - 6, 4)]
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "small").write_text("\n".join(lines) + "\n")
    (folder / "capital").write_text("\n".join(lines).upper() + "\n")
    sockeye(
        "train", "--source", "small", "--target", "capital",
        "--validation-source", "small", "--validation-target", "capital",
        "--output", "model", "--num-layers", 1, "--max-seq-len", 8,
        "--transformer-model-size", 32, "--num-embed", 32,
        "--transformer-attention-heads", 2,
        "--transformer-feed-forward-num-hidden", 64,
        "--batch-type", "sentence", "--batch-size", 64,
        "--initial-learning-rate", 0.01,
        "--learning-rate-scheduler-type", "none",
        "--checkpoint-interval", 50, "--max-updates", 200,
        "--decode-and-evaluate", 20, "--seed", 1)
    perplexities = [
        float(word.partition("=")[2])
        for word in (folder / "model" / "metrics").read_text().split()
        if word.startswith("perplexity-val=")]
    assert len(perplexities) == 4, perplexities
    assert perplexities[-1] < 0.7 * perplexities[0], perplexities
    print("perplexity", perplexities[0], "->", perplexities[-1])

    asked = lines[:20]
    (folder / "asked").write_text("\n".join(asked) + "\n")
    answers = sockeye("translate", "--models", "model", "--input", "asked",
                      "--beam-size", 3).splitlines()
    assert len(answers) == len(asked), answers
    right = sum(answer == line.upper()
                for answer, line in zip(answers, asked))
    assert right > 12, answers
    print(right, "of", len(asked), "lines are right; the first is", answers[0])
