/* SPDX-License-Identifier: MIT */
/* map.c - mapping all regions of a device with fixed addresses, or none. */
#include "dev/map.h"

#include "sundog/err.h"

int dev_map(struct device *dev, struct addrspace *as, const struct region *r, unsigned nr,
	    struct err *e)
{
	unsigned i;
	int rc = 0;

	as_begin(as);
	for (i = 0; i < nr; i++) {
		rc = as_map(as, &r[i]);
		if (rc)
			break;
	}
	if (rc) {
		for (unsigned k = 0; k < i; k++)
			as_unmap(as, &r[k]);
	}
	as_commit(as);
	if (rc)
		return err_set(e, rc, "%s: 0x%llx..0x%llx is taken or out of range", r[i].name,
			       (unsigned long long)r[i].base,
			       (unsigned long long)(r[i].base + r[i].size - 1));
	return 0;
}

void dev_unmap(struct addrspace *as, const struct region *r, unsigned nr)
{
	as_begin(as);
	for (unsigned i = 0; i < nr; i++)
		as_unmap(as, &r[i]);
	as_commit(as);
}
