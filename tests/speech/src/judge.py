"""Scores speech: PESQ (ITU-T P.862.1, narrow band), ViSQOL v3 in its speech mode, and how much later it is heard than said.

One JSON object a line on stdin: {"said": path, "heard": path, "pairs": [[from, to], …]}, where both files are raw 16-bit samples at
8 kHz that begin at the same moment. One line on stdout for each: [{"pesq", "visqol", "delay_ms"}, …]. ViSQOL takes seconds a pair, and so judges one in three; its
value is null for the others.
"""

import json
import multiprocessing
import sys

import numpy
from pesq import pesq
from scipy.signal import fftconvolve, resample_poly
from visqol import VisqolApi

RATE = 8000
# How much later something may be heard.
LATEST = RATE // 2


def delay(said, heard):
    """In samples, where the two are most alike."""
    alike = fftconvolve(heard, said[::-1], mode="full")[len(said) - 1 : len(said) - 1 + LATEST]
    return int(numpy.argmax(alike))


def start():
    global visqol
    visqol = VisqolApi()
    visqol.create(mode="speech")


def judge(line):
    task = json.loads(line)
    whole = {end: numpy.fromfile(task[end], dtype="<i2").astype(float) / 32768 for end in ("said", "heard")}
    scores = []
    for index, (begin, end) in enumerate(task["pairs"]):
        said = whole["said"][begin:end]
        late = delay(said, whole["heard"][begin : end + LATEST])
        heard = whole["heard"][begin + late : end + late]
        # ViSQOL's speech mode works at 16 kHz.
        wide = [resample_poly(samples, 2, 1) for samples in (said, heard)]
        scores.append(
            {
                "pesq": pesq(RATE, said, heard, "nb"),
                "visqol": visqol.measure_from_arrays(*wide, 2 * RATE).moslqo if index % 3 == 0 else None,
                "delay_ms": late * 1000 / RATE,
            }
        )
    return scores


with multiprocessing.Pool(initializer=start) as pool:
    for scores in pool.imap(judge, sys.stdin):
        print(json.dumps(scores), flush=True)
