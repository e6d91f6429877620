"""What is compared: the tutorial's network, the plain recipe, and our candidates."""

from mnist_vae.model import ModelParams

BATCH = 128
NETWORK = ModelParams(
    latent_dim=2,
    hidden_sizes=(512, 512),
    activation="relu",
    architecture="mlp",
    prior_components=0,
)

# Constant Adam with torch's initial weights, but no output bias. Over params.yaml.
PLAIN: dict[str, object] = {
    "batch_size": BATCH,
    "epochs": 30,
    "learning_rate": 1e-3,
    "input_lr_scale": 1.0,
    "output_lr_scale": 1.0,
    "schedule": "constant",
    "weight_init": "torch",
    "output_bias": "zero",
    "encoder_noise": 0.0,
    "adam_beta2": 0.999,
    "ema_decay": 0.0,
    "kl_warmup_epochs": 0.0,
    "likelihood": "greyscale",
    "objective": "elbo",
    "importance_samples": 1,
    "importance_warmup_epochs": 0,
    "importance_lr_scale": 0.0,
    "beta": 1.0,
}

# Time to quality: what is tried against PLAIN, over params.yaml.
FAST: dict[str, object] = {
    "batch_size": 384,
    "learning_rate": 6e-3,
    "input_lr_scale": 0.3,
    "output_lr_scale": 3.0,
    "warmup_fraction": 0.05,
    "adam_beta2": 0.995,
    "ema_decay": 0.98,
    "weight_init": "torch",
    "encoder_noise": 0.0,
}
CANDIDATES: dict[str, dict[str, object]] = {
    "params.yaml": {},
    "14 epochs, batches of 384": {"epochs": 14, **FAST},
    "16 epochs, batches of 384": {"epochs": 16, **FAST},
}
