"""One run over many images: scored, written, counted, and put on a sheet."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from pyimgano.inference.confidence import LabelConfidence, Rejection, with_confidence
from pyimgano.inference.contact_sheet import ContactSheet
from pyimgano.inference.outputs import ResultWriter
from pyimgano.inference.profile import Stopwatch
from pyimgano.inference.result import InferenceResult
from pyimgano.inference.resume import Held, numbered
from pyimgano.inference.stream import Chunk, infer_chunks
from pyimgano.pipeline import Pipeline

logger = logging.getLogger(__name__)


class Run:
    """Scores images, hands each result on, and counts.

    Attributes
    ----------
    done, defective, failed
        How many results came, have the label 1, and have an error instead of a score.
    earlier
        How many images an earlier run has scored.
    """

    def __init__(
        self, pipeline: Pipeline, writer: ResultWriter, held: Held | None, sheet: ContactSheet | None, watch: Stopwatch
    ) -> None:
        self._pipeline = pipeline
        self._writer = writer
        self._held = held
        self._sheet = sheet
        self._watch = watch
        self.done = self.defective = self.failed = 0
        self.earlier = len(held.inputs) if held is not None else 0

    def results(
        self,
        chunks: Iterable[Sequence[str]],
        continue_on_error: bool,
        confidence: LabelConfidence | None,
        rejection: Rejection | None,
    ) -> Iterator[InferenceResult]:
        """Yield the results of what no earlier run has scored."""
        left = self._held.remaining(chunks) if self._held is not None else numbered(chunks)
        results = self._watch.timed("read", infer_chunks(self._pipeline, left, continue_on_error=continue_on_error))
        return results if confidence is None else with_confidence(results, confidence, rejection)

    def write(self, results: Iterable[InferenceResult], max_errors: int | None = None) -> None:
        """Write results as they come, until there are no more or `max_errors` of them are errors."""
        with self._writer:
            for result in results:
                self._writer.write(result)
                self._count(result)
                if self.failed == max_errors:
                    break
        if self._held is not None:
            self._held.put_in_order()

    def write_sheet(self, sheet: ContactSheet, threshold: float | None) -> None:
        """Write the contact sheet; images of an earlier run that belong on it are scored once more for their heat."""
        with self._watch.stage("sheet"):
            if self._held is not None:
                for index, (score, label) in self._held.scores.items():
                    sheet.expect(index, self._held.inputs[index], score, label)
            missing = sheet.without_picture()
            again = Chunk([entry.index for entry in missing], [entry.input for entry in missing])
            for result in infer_chunks(self._pipeline, [again], continue_on_error=True):
                sheet.fill(result)
            sheet.write(threshold)

    def summary(self) -> str:
        """Return in words what was done."""
        earlier = f"; {self.earlier} more had records already" if self.earlier else ""
        return f"{self.done} images, {self.defective} called defective{earlier}"

    def _count(self, result: InferenceResult) -> None:
        self.done += 1
        self.defective += result.label == 1
        if result.error is not None:
            self.failed += 1
            logger.error(result.error.problem)
        elif self._sheet is not None:
            with self._watch.stage("sheet"):
                self._sheet.add(result)
