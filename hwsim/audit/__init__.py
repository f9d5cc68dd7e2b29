"""The audit: does a network resist attacks, or does it hide its gradients from the naive one?

statistics: when one attack is stronger than another. evidence: what the audit has measured.
gradients, agreement, datapath: probes that need no attack. attempts: the attacks of the suite.
flags: what each flag means and when it is raised. suite: the stages in order, resumable.
report: the result dict and its files. terminal: the same on a screen.

Nothing is imported here, so that ``hwsim audit --help`` comes without torch.
"""
