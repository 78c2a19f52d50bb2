"""Load a trained model and ask it about one video: `python ask_a_model.py RUN VIDEO`."""

import sys

import actrec_zoo

run, video = sys.argv[1:]
model = actrec_zoo.load(run)
print(f"{video}, seen by {model.id} ({model.input.frames} frames of {model.input.size}x{model.input.size}):")
for label, probability in model.predict(video, top_k=3):
    print(f"  {probability:.3f}  {label}")
