"""The errors of the bundled task, in one tree.

TemplateError
  DataError        the text or its packed form can't be used: says what to do about it
  ContractError    the edited train.py does not keep to the contract of train(session)
    DivergedError  its loss became nan or infinite
  RejectedError    the model's answers give no metric that can be believed
  LeftError        the candidate was gone before the exam was over
"""


class TemplateError(Exception):
    """Anything that the bundled task refuses; the message is one sentence for a person."""


class DataError(TemplateError):
    """The text can't be packed, or the packed data can't be used."""


class ContractError(TemplateError):
    """The edited train.py does not do what the harness asks of it."""


class DivergedError(ContractError):
    """The training loss is no longer a finite number."""


class RejectedError(TemplateError):
    """The model can't be scored: wrong shape, not finite, not causal, not stateless."""


class LeftError(TemplateError):
    """The candidate closed the exam, or ended, before everything was asked."""
