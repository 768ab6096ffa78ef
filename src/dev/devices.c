/* SPDX-License-Identifier: MIT */
/* devices.c - the list of device types: what --device takes.  One line for each. */
#include "dev/devices.h"

#include "dev/intc/ioapic.h"
#include "dev/intc/pic.h"
#include "dev/misc/acpipm.h"
#include "dev/misc/fwcfg.h"
#include "dev/nvme/nvme.h"
#include "dev/pci/acpihp.h"
#include "dev/pci/host.h"
#include "dev/timer/hpet.h"
#include "dev/timer/pit.h"
#include "dev/timer/rtc.h"

const struct device_type *const device_types[] = {
	&acpihp_type,	   &acpipm_type,    &debugcon_type,   &debugexit_type,	&fwcfg_type,
	&hpet_type,	   &i8042_type,	    &ioapic_type,     &isa_i8259_type,	&isa_pit_type,
	&mc146818rtc_type, &nvme_type,	    &pci_host_type,   &port92_type,	&pvpanic_type,
	&testdev_type,	   &uart16550_type, &virtio_blk_type, &virtio_rng_type, NULL,
};
