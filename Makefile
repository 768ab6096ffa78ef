# SPDX-License-Identifier: MIT
# A thin front to meson and the scripts in tools/.

BUILD ?= build
PREFIX ?= /usr/local
GUEST = $(BUILD)/guest
RUN_FLAGS ?=
CHECK_FLAGS ?=
# For example --include build-essential,git --size 20G.
DISTRO_FLAGS ?=
# For example --quick, or --only fork,pipe.
BENCH_FLAGS ?=

.PHONY: all run check check-asan check-tsan bench fuzz soak soak-insn install deps clean guest \
	distro

all: $(BUILD)/build.ninja
	@tools/deps.sh build
	ninja -C $(BUILD)

# The first command: a Linux shell on the virtual machine.
run: guest
	@ninja -C $(BUILD) --quiet sundog
	@echo 'booting: Ctrl-A x quits, "exit" powers off'
	$(BUILD)/sundog run $(GUEST)/cloud/vmlinuz --initrd $(GUEST)/initrd.img $(RUN_FLAGS)

guest: $(BUILD)/build.ninja
	@tools/fetch-guest.sh $(GUEST) cloud busybox
	@tools/mkinitrd.sh $(GUEST)/initrd.img $(GUEST)/busybox/busybox

# A whole Debian on a disk.
distro: $(BUILD)/build.ninja
	@tools/deps.sh distro
	@ninja -C $(BUILD) --quiet sundog
	@SUNDOG=$(BUILD)/sundog tools/mkdistro.sh $(DISTRO_FLAGS) $(GUEST)/debian.qcow2

$(BUILD)/build.ninja:
	@tools/deps.sh run
	meson setup $(BUILD) --prefix $(PREFIX)

# All tests, the sanitizer builds included.
check:
	@tools/deps.sh check
	@python3 tools/check.py $(CHECK_FLAGS)

check-asan:
	@tools/deps.sh check
	@python3 tools/check.py --only asan $(CHECK_FLAGS)

check-tsan:
	@tools/deps.sh check
	@python3 tools/check.py --only tsan $(CHECK_FLAGS)

bench: guest
	@tools/deps.sh bench
	@tools/fetch-judges.sh $(GUEST)/judges
	@ninja -C $(BUILD) --quiet sundog bench/guest/bench
	@python3 bench/run.py --build $(BUILD) $(BENCH_FLAGS)

# Fuzzers for FUZZ_SECONDS each, and repeated boots for as long.
fuzz:
	@tools/deps.sh fuzz
	@python3 tools/check.py --only fuzz --fuzz-seconds $(or $(FUZZ_SECONDS),600) $(CHECK_FLAGS)

soak:
	@tools/deps.sh check
	@python3 tools/check.py --soak $(or $(SOAK_ROUNDS),20) --only boot $(CHECK_FLAGS)

# More instructions against the host CPU: SEED and COUNT choose which and how many.
soak-insn: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet tests/insn/insn_test
	$(BUILD)/tests/insn/insn_test --seed $(or $(SEED),$(shell date +%s)) \
		--count $(or $(COUNT),20000000)

# A PREFIX that was given holds even if the build was configured with another.
install: all
	@[ "$(origin PREFIX)" = file ] || meson configure $(BUILD) -Dprefix=$(PREFIX)
	meson install -C $(BUILD)

deps:
	@tools/deps.sh check
	@tools/deps.sh bench

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz
