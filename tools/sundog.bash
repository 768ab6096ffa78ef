# SPDX-License-Identifier: MIT
# Bash completion for sundog.  It asks sundog itself, so it is never behind.

_sundog_from() { # WORDS: those that begin with what is typed
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_sundog_names() {
	_sundog_from "$("$me" ps 2>/dev/null | sed -n '2,$s/ .*//p')"
}

# What was added to the machine while it ran.  bash expands the words: no others than these.
_sundog_plugged() { # NAME
	_sundog_from "$("$me" status "$1" 2>/dev/null | sed -n 's/^  \([A-Za-z0-9._-]*\) .*, plugged in$/\1/p')"
}

# Into "given": what stands before this word and is neither the command nor an option.
_sundog_given() {
	local i
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--timeout | --format) ((i++)) ;;
		-*) ;;
		*) given+=("${COMP_WORDS[i]}") ;;
		esac
	done
}

# The names in the list of commands that a help text has.
_sundog_commands() { # [COMMAND]
	_sundog_from "--help $("$me" "$@" --help 2>/dev/null |
		sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')"
}

_sundog_files() {
	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	compopt -o filenames 2>/dev/null
}

_sundog() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} me=${COMP_WORDS[0]}
	local command=("${COMP_WORDS[1]}") given=()
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		_sundog_commands
		return
	fi
	if [ "${command[0]}" = img ]; then
		if [ "$COMP_CWORD" = 2 ]; then
			_sundog_commands img
			return
		fi
		command+=("${COMP_WORDS[2]}")
	fi
	case ${command[0]}:$prev in
	img:--format | img:--output-format | img:--backing-format | img:--second-format | \
		img:-f | img:-O | img:-F)
		_sundog_from "raw qcow2"
		return
		;;
	run:--engine | run:--cpu | run:--console | run:--device | run:--trace)
		local values
		values=$("$me" run "$prev" help 2>/dev/null | sed -n 's/^\([a-z0-9_:-]*\).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$values" -- "${cur%%,*}")
		return
		;;
	metrics:--format)
		_sundog_from "text prometheus"
		return
		;;
	*:--memory | *:--cpus | *:--append | *:--cmdline | *:--name | *:--timeout | *:--user | \
		*:--hostname) return ;;
	esac
	if [[ $cur == -* ]]; then
		_sundog_from "$("$me" "${command[@]}" --help 2>/dev/null |
			sed -n 's/^  \(--[a-z-]*\).*/\1/p')"
		return
	fi
	_sundog_given
	case ${command[0]}:${#given[@]} in
	status:0 | console:0 | pause:0 | resume:0 | reset:0 | stop:0 | events:0 | metrics:0 | \
		hotplug:0 | unplug:0 | resize:0) _sundog_names ;;
	unplug:1) _sundog_plugged "${given[0]}" ;;
	hotplug:1)
		_sundog_from "$("$me" run --device help 2>/dev/null | sed -n 's/^\([a-z0-9_-]*\).*/\1/p')"
		;;
	status:* | console:* | pause:* | resume:* | reset:* | stop:* | events:* | metrics:* | \
		hotplug:* | unplug:* | resize:* | ps:*) ;;
	*) _sundog_files ;;
	esac
}
complete -F _sundog sundog
