# shellcheck shell=bash
# What a driver sees when things go wrong around it: a claim whose pod is deleted before it was ever prepared, and many pods that come and go at once.
claim_template one "$(gpu_request 1)"
for round in 1 2 3; do
  for i in $(seq "$GPU_COUNT"); do pod "r$round-$i" template=one; done
  # Without waiting for them to run: some are deleted before, some while, some after their prepare.
  sleep 0.$((round * 2))
  kn delete pods --all --wait --timeout=60s >&2
done
