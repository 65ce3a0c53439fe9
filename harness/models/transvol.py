"""TransVol: an encoder-decoder with ProbSparse attention and trend decomposition.

It reads sequences of the last forecast origins. The source (a preprint of November 2025) names its
parts but gives no sizes: nets/encoder_decoder.py and TransvolParams state those used here.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.models.nets.encoder_decoder import EncoderDecoder, Shape
from harness.models.nets.schedule import Schedule, batch_for, epochs_for
from harness.models.params import TransvolParams
from harness.models.recurrent import RecurrentNet

# Of the learning rate: a line of every step fits the training rows' noise before attention learns.
LINE_RATE = 0.1


@dataclass(frozen=True)
class Transvol(RecurrentNet[TransvolParams]):
    """The encoder-decoder, standardised and trained like the recurrent nets."""

    def _fresh(self) -> EncoderDecoder:
        p = self.params
        shape = Shape(
            p.width, p.heads, p.encoder_layers, p.decoder_layers, p.factor, p.window, p.dropout
        )
        return EncoderDecoder(len(self.features), p.sequence_length, shape)

    def _schedules(self, n: int) -> list[Schedule]:
        p = self.params
        batch = batch_for(p.batch, n)
        epochs = epochs_for(p.epochs, batch, n)
        rates = {"line": LINE_RATE * p.learning_rate}
        return [Schedule(p.learning_rate, batch, epochs, p.patience, p.plateau, rates)]
