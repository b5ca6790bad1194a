# Written by `tundra docs docs` from the tables in the code; do not edit.
# bash completion for tundra: source it, or put it into /usr/share/bash-completion/completions/tundra
_tundra() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words choices=
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words='node status claims unprepare export doctor support-bundle --help --version'
	else
		case ${COMP_WORDS[1]} in
		node) words=' --node-name --namespace --pod-uid --kubeconfig --kube-api-qps --kube-api-burst --cdi-root --host_driver-root --nvidia-driver-root --container-driver-root --host-root --nvidia-cdi-hook-path --kubelet-registrar-directory-path --kubelet-plugins-directory-path --healthcheck-port --http-endpoint --metrics-path --status-page --feature-gates --consumable-shares --extra-attributes --allow-device-plugin --logging-format -v --run-directory --worker-path --hook-source --dev-root --proc-root --sys-root --mask-nvidia-driver-params --alt-proc-devices-path -h --help --version --image-name --image-pull-secrets --image-pull-policy --service-account-name --additional-xids-to-ignore --vmodule --log-flush-frequency --log-json-info-buffer-size --log-json-split-stream --log-text-info-buffer-size --log-text-split-stream'
			case $prev in --logging-format) choices='text json' ;; esac
			;;
		status) words=' -o --output --run-directory -h --help'
			case $prev in -o | --output) choices='table json' ;; esac
			;;
		claims) words=' -o --output --kubelet-plugins-directory-path -h --help'
			case $prev in -o | --output) choices='table json' ;; esac
			;;
		unprepare) words=' --all --claim --force --kubelet-plugins-directory-path --kubelet-registrar-directory-path --cdi-root --run-directory --host_driver-root --nvidia-driver-root --container-driver-root --host-root --dev-root --proc-root --sys-root --worker-path -h --help'
			;;
		export) words=' --upstream --without-mps-daemon-id --kubelet-plugins-directory-path --kubelet-registrar-directory-path --cdi-root -h --help'
			;;
		doctor) words=' -o --output --timeout'
			case $prev in -o | --output) choices='table json' ;; esac
			;;
		support-bundle) words=' -o --output --timeout'
			;;
		*) return ;;
		esac
		if [ -n "$choices" ]; then
			mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
			return
		fi
		# The value of a flag is mostly a path.
		if [ "${cur#-}" = "$cur" ] && [ "${prev#-}" != "$prev" ]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		fi
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _tundra tundra
