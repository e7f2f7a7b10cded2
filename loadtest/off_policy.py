"""Compares the off-policy estimates of replays with those of Open Bandit Pipeline, on its bundled data.

    pip install --no-deps obp==0.4.1
    pip install pandas scikit-learn scipy tqdm pyyaml matplotlib seaborn mypy_extensions
    cargo build --release --bin qianmian-bench
    python loadtest/off_policy.py target/release/qianmian-bench

Logged is the random policy on all items of the Open Bandit Dataset; the candidate prefers items with small
numbers. Leaves with 1 where an estimate differs in its first four digits.
"""

import csv
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

try:
    import torch  # noqa: F401
except ImportError:

    class Absent(types.ModuleType):
        """Stands for a module of torch: the parts of obp that need it are not called here."""

        __path__ = []

        def __getattr__(self, name: str) -> object:
            return sys.modules.get(f"{self.__name__}.{name}") or type(name, (), {})

    for name in ("torch", "torch.nn", "torch.nn.functional", "torch.optim", "torch.utils", "torch.utils.data"):
        sys.modules[name] = Absent(name)

import obp
from obp.ope.estimators import DoublyRobust, InverseProbabilityWeighting
from obp.ope.estimators import SelfNormalizedInverseProbabilityWeighting


def main(bench: str) -> int:
    # Its own reader does not work with today's pandas.
    table = Path(obp.__file__).parent / "dataset" / "obd" / "random" / "all" / "all.csv"
    with table.open(newline="") as file:
        logged = list(csv.DictReader(file))
    action = np.array([int(row["item_id"]) for row in logged])
    reward = np.array([float(row["click"]) for row in logged])
    pscore = np.array([float(row["propensity_score"]) for row in logged])
    position = np.array([int(row["position"]) - 1 for row in logged])
    rounds, actions = len(logged), int(action.max()) + 1

    # The same in every round and at every position: a softmax over the items' numbers.
    weights = np.exp(-np.arange(actions) / 20)
    probabilities = weights / weights.sum()
    positions = int(position.max()) + 1
    action_dist = np.broadcast_to(probabilities[None, :, None], (rounds, actions, positions))
    clicks = np.bincount(action, weights=reward, minlength=actions)
    means = (clicks + 20 * reward.mean()) / (np.bincount(action, minlength=actions) + 20)
    expected = np.broadcast_to(means[None, :, None], (rounds, actions, positions))

    given = {"reward": reward, "action": action, "pscore": pscore, "position": position}
    given["action_dist"] = action_dist
    model = {"estimated_rewards_by_reg_model": expected}
    theirs = {
        "ips": InverseProbabilityWeighting().estimate_policy_value(**given),
        "snips": SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**given),
        "dr": DoublyRobust().estimate_policy_value(**given, **model),
    }

    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["reward", "propensity", "probability", "expected", "expected_of_candidate"])
        of_candidate = float((probabilities * means).sum())
        for r, a, p in zip(reward, action, pscore):
            rows.writerow([float(r), float(p), float(probabilities[a]), float(means[a]), of_candidate])
        file.flush()
        printed = subprocess.run([bench, "off-policy", file.name], check=True, capture_output=True, text=True)

    ours = dict(line.split() for line in printed.stdout.splitlines())
    differ = 0
    print(f"{rounds} rounds, {actions} items\n{'':8}{'obp':>14}{'qianmian':>14}")
    for name, value in theirs.items():
        print(f"{name:8}{value:14.9f}{float(ours[name]):14.9f}")
        differ += abs(float(ours[name]) / value - 1) > 5e-5
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
