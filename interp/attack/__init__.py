"""Adversarial examples, from FGSM to AutoAttack, in Linf, L2 and L1."""
