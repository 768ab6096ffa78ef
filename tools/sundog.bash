# SPDX-License-Identifier: MIT
# Bash completion for sundog.  It asks sundog itself, so it is never behind.

_sundog() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} me=${COMP_WORDS[0]}
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		local commands
		commands=$("$me" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
		return
	fi
	local command=("${COMP_WORDS[1]}")
	if [ "${COMP_WORDS[1]}" = img ]; then
		if [ "$COMP_CWORD" = 2 ]; then
			local commands
			commands=$("$me" img --help 2>/dev/null |
				sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
			mapfile -t COMPREPLY < <(compgen -W "$commands --help" -- "$cur")
			return
		fi
		command+=("${COMP_WORDS[2]}")
	fi
	case $prev in
	--format | --output-format | --backing-format | --second-format | -f | -O | -F)
		if [ "${command[0]}" = img ]; then
			mapfile -t COMPREPLY < <(compgen -W 'raw qcow2' -- "$cur")
			return
		fi
		;;
	--engine | --cpu | --console | --device | --trace)
		local values
		values=$("$me" run "$prev" help 2>/dev/null | sed -n 's/^\([a-z0-9_:-]*\).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$values" -- "${cur%%,*}")
		return
		;;
	--disk)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
		return
		;;
	--memory | --cpus | --append | --cmdline) return ;;
	esac
	if [[ $cur == -* ]]; then
		local options
		options=$("$me" "${command[@]}" --help 2>/dev/null |
			sed -n 's/^  \(--[a-z-]*\).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
	fi
}
complete -F _sundog sundog
