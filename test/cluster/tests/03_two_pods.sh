# shellcheck shell=bash
# Two pods get two different GPUs; one pod with two GPUs sees both.
claim_template one "$(gpu_request 1)"
claim_template two "$(gpu_request 2)"
pod a template=one
pod b template=one
pod c template=two
for p in a b c; do running "$p"; done
for p in a b c; do sees_its_gpus "$p"; done
same "different GPUs" 4 "$({ nodes_inside a; nodes_inside b; nodes_inside c; } | sort -u | wc -l)"
delete_pods a b c
