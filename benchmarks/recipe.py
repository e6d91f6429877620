"""What is compared: the tutorial's network, the plain recipe, and our candidates."""

from mnist_vae.model import ModelParams

BATCH = 128
NETWORK = ModelParams(latent_dim=2, hidden_sizes=(512, 512), activation="relu", architecture="mlp")

# Constant Adam with torch's initial weights, and nothing else. Over params.yaml.
PLAIN: dict[str, object] = {
    "batch_size": BATCH,
    "epochs": 30,
    "learning_rate": 1e-3,
    "input_rate_scale": 1.0,
    "output_rate_scale": 1.0,
    "schedule": "constant",
    "weight_init": "lecun",
    "output_bias": "zero",
    "encoder_noise": 0.0,
    "adam_beta2": 0.999,
    "weight_averaging": 0.0,
    "kl_warmup_epochs": 0.0,
    "likelihood": "greyscale",
    "objective": "elbo",
    "importance_samples": 1,
    "importance_warmup_epochs": 0,
    "beta": 1.0,
}

# Time to quality: what is tried against PLAIN, over params.yaml. The last one is the headline.
CANDIDATES: dict[str, dict[str, object]] = {
    "params.yaml": {},
    "params.yaml, 13 epochs": {"epochs": 13},
    "13 epochs, batches of 256": {
        "epochs": 13,
        "batch_size": 256,
        "learning_rate": 3e-3,
        "input_rate_scale": 1.0,
        "warmup_fraction": 0.1,
        "weight_averaging": 0.99,
        "encoder_noise": 0.0,
    },
}
