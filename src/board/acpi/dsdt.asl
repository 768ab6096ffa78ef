/* SPDX-License-Identifier: MIT */
/*
 * dsdt.asl - what the board "pc" tells of itself.
 *
 * Source: ACPI Specification 6.4, "ACPI Namespace" and "Device Configuration".
 * What depends on options is in the SSDT that acpi.c writes: it defines the integers below
 * as named objects, before any _STA is looked at.
 */
DefinitionBlock ("", "DSDT", 2, "SUNDOG", "SUNDOGPC", 1)
{
	External (\HSTA, IntObj)	/* presence: 0x0f or 0 */
	External (\KSTA, IntObj)
	External (\MSTA, IntObj)
	External (\C1ST, IntObj)
	External (\C2ST, IntObj)
	External (\VSTA, IntObj)
	External (\FSTA, IntObj)
	External (\P64B, IntObj)	/* 64-bit PCI window */
	External (\P64E, IntObj)
	External (\P64L, IntObj)

	Name (\PICM, Zero)
	Method (\_PIC, 1, NotSerialized)
	{
		\PICM = Arg0
	}

	/* As QEMU's: SLP_TYP 0 is soft-off. */
	Name (\_S5, Package () { Zero, Zero, Zero, Zero })

	/* The general-purpose event of the slots, an edge. */
	Scope (\_GPE)
	{
		Method (_E01, 0, NotSerialized)
		{
			\_SB.PCI0.PCNT ()
		}
	}

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_UID, Zero)
			Name (_BBN, Zero)
			Name (_SEG, Zero)

			Name (CRES, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
				IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0x00000000, 0x000A0000, 0x000BFFFF, 0x00000000, 0x00020000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0x00000000, 0xC0000000, 0xFEBFFFFF, 0x00000000, 0x3EC00000)
			})
			Name (CR64, ResourceTemplate ()
			{
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					Cacheable, ReadWrite,
					0x0000000000000000, 0x0000008000000000, 0x000000FFFFFFFFFF,
					0x0000000000000000, 0x0000008000000000)
			})
			/* At the offsets of _MIN, _MAX and _LEN in the descriptor. */
			Method (_CRS, 0, Serialized)
			{
				CreateQWordField (CR64, 0x0E, PMIN)
				CreateQWordField (CR64, 0x16, PMAX)
				CreateQWordField (CR64, 0x26, PLEN)
				PMIN = \P64B
				PMAX = \P64E
				PLEN = \P64L
				Return (ConcatenateResTemplate (CRES, CR64))
			}

			/* Features that the OS may control: PCIe's, but its hot plug, which is ACPI's. */
			Method (_OSC, 4, NotSerialized)
			{
				CreateDWordField (Arg3, Zero, CDW1)
				If (Arg0 == ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
				{
					CreateDWordField (Arg3, 0x08, CDW3)
					Local0 = CDW3
					Local0 &= 0x10
					If (Arg1 != One)
					{
						CDW1 |= 0x08
					}
					If (CDW3 != Local0)
					{
						CDW1 |= 0x10
					}
					CDW3 = Local0
				}
				Else
				{
					CDW1 |= 0x04
				}
				Return (Arg3)
			}

			/*
			 * INTx of slot s, pin p is wire (s + p) % 4: GSI 16 to 19 at the I/O
			 * APIC, IRQ 10 and 11 at the PICs.  Local1 is 4 * s + p.
			 */
			Method (_PRT, 0, Serialized)
			{
				Local0 = Package (128) {}
				Local1 = Zero
				While (Local1 < 128)
				{
					Local2 = ((Local1 >> 2) + Local1) & 3
					Local3 = Package (4) { Zero, Zero, Zero, Zero }
					Local3 [0] = ((Local1 >> 2) << 16) | 0xFFFF
					Local3 [1] = Local1 & 3
					If (\PICM)
					{
						Local3 [3] = Local2 + 16
					}
					Else
					{
						Local3 [3] = (Local2 & 1) + 10
					}
					Local0 [Local1] = Local3
					Local1++
				}
				Return (Local0)
			}

			/* Hotplug: a bit is a slot.  See dev/pci/acpihp.c. */
			OperationRegion (PCST, SystemIO, 0xAE00, 0x14)
			Field (PCST, DWordAcc, NoLock, WriteAsZeros)
			{
				PCIU, 32,	/* look at these */
				PCID, 32,	/* let go of these */
				B0EJ, 32	/* let go of */
			}
			Method (PCEJ, 1, Serialized)
			{
				B0EJ = One << Arg0
			}
			Method (DVNT, 2, NotSerialized)
			{
				If (Arg0 & 0x00000002) { Notify (S01, Arg1) }
				If (Arg0 & 0x00000004) { Notify (S02, Arg1) }
				If (Arg0 & 0x00000008) { Notify (S03, Arg1) }
				If (Arg0 & 0x00000010) { Notify (S04, Arg1) }
				If (Arg0 & 0x00000020) { Notify (S05, Arg1) }
				If (Arg0 & 0x00000040) { Notify (S06, Arg1) }
				If (Arg0 & 0x00000080) { Notify (S07, Arg1) }
				If (Arg0 & 0x00000100) { Notify (S08, Arg1) }
				If (Arg0 & 0x00000200) { Notify (S09, Arg1) }
				If (Arg0 & 0x00000400) { Notify (S0A, Arg1) }
				If (Arg0 & 0x00000800) { Notify (S0B, Arg1) }
				If (Arg0 & 0x00001000) { Notify (S0C, Arg1) }
				If (Arg0 & 0x00002000) { Notify (S0D, Arg1) }
				If (Arg0 & 0x00004000) { Notify (S0E, Arg1) }
				If (Arg0 & 0x00008000) { Notify (S0F, Arg1) }
				If (Arg0 & 0x00010000) { Notify (S10, Arg1) }
				If (Arg0 & 0x00020000) { Notify (S11, Arg1) }
				If (Arg0 & 0x00040000) { Notify (S12, Arg1) }
				If (Arg0 & 0x00080000) { Notify (S13, Arg1) }
				If (Arg0 & 0x00100000) { Notify (S14, Arg1) }
				If (Arg0 & 0x00200000) { Notify (S15, Arg1) }
				If (Arg0 & 0x00400000) { Notify (S16, Arg1) }
				If (Arg0 & 0x00800000) { Notify (S17, Arg1) }
				If (Arg0 & 0x01000000) { Notify (S18, Arg1) }
				If (Arg0 & 0x02000000) { Notify (S19, Arg1) }
				If (Arg0 & 0x04000000) { Notify (S1A, Arg1) }
				If (Arg0 & 0x08000000) { Notify (S1B, Arg1) }
				If (Arg0 & 0x10000000) { Notify (S1C, Arg1) }
				If (Arg0 & 0x20000000) { Notify (S1D, Arg1) }
				If (Arg0 & 0x40000000) { Notify (S1E, Arg1) }
			}
			Method (PCNT, 0, Serialized)
			{
				DVNT (PCIU, One)
				DVNT (PCID, 0x03)
			}
			Device (S01) { Name (_SUN, 0x01) Name (_ADR, 0x00010000) Method (_EJ0, 1) { PCEJ (0x01) } }
			Device (S02) { Name (_SUN, 0x02) Name (_ADR, 0x00020000) Method (_EJ0, 1) { PCEJ (0x02) } }
			Device (S03) { Name (_SUN, 0x03) Name (_ADR, 0x00030000) Method (_EJ0, 1) { PCEJ (0x03) } }
			Device (S04) { Name (_SUN, 0x04) Name (_ADR, 0x00040000) Method (_EJ0, 1) { PCEJ (0x04) } }
			Device (S05) { Name (_SUN, 0x05) Name (_ADR, 0x00050000) Method (_EJ0, 1) { PCEJ (0x05) } }
			Device (S06) { Name (_SUN, 0x06) Name (_ADR, 0x00060000) Method (_EJ0, 1) { PCEJ (0x06) } }
			Device (S07) { Name (_SUN, 0x07) Name (_ADR, 0x00070000) Method (_EJ0, 1) { PCEJ (0x07) } }
			Device (S08) { Name (_SUN, 0x08) Name (_ADR, 0x00080000) Method (_EJ0, 1) { PCEJ (0x08) } }
			Device (S09) { Name (_SUN, 0x09) Name (_ADR, 0x00090000) Method (_EJ0, 1) { PCEJ (0x09) } }
			Device (S0A) { Name (_SUN, 0x0A) Name (_ADR, 0x000A0000) Method (_EJ0, 1) { PCEJ (0x0A) } }
			Device (S0B) { Name (_SUN, 0x0B) Name (_ADR, 0x000B0000) Method (_EJ0, 1) { PCEJ (0x0B) } }
			Device (S0C) { Name (_SUN, 0x0C) Name (_ADR, 0x000C0000) Method (_EJ0, 1) { PCEJ (0x0C) } }
			Device (S0D) { Name (_SUN, 0x0D) Name (_ADR, 0x000D0000) Method (_EJ0, 1) { PCEJ (0x0D) } }
			Device (S0E) { Name (_SUN, 0x0E) Name (_ADR, 0x000E0000) Method (_EJ0, 1) { PCEJ (0x0E) } }
			Device (S0F) { Name (_SUN, 0x0F) Name (_ADR, 0x000F0000) Method (_EJ0, 1) { PCEJ (0x0F) } }
			Device (S10) { Name (_SUN, 0x10) Name (_ADR, 0x00100000) Method (_EJ0, 1) { PCEJ (0x10) } }
			Device (S11) { Name (_SUN, 0x11) Name (_ADR, 0x00110000) Method (_EJ0, 1) { PCEJ (0x11) } }
			Device (S12) { Name (_SUN, 0x12) Name (_ADR, 0x00120000) Method (_EJ0, 1) { PCEJ (0x12) } }
			Device (S13) { Name (_SUN, 0x13) Name (_ADR, 0x00130000) Method (_EJ0, 1) { PCEJ (0x13) } }
			Device (S14) { Name (_SUN, 0x14) Name (_ADR, 0x00140000) Method (_EJ0, 1) { PCEJ (0x14) } }
			Device (S15) { Name (_SUN, 0x15) Name (_ADR, 0x00150000) Method (_EJ0, 1) { PCEJ (0x15) } }
			Device (S16) { Name (_SUN, 0x16) Name (_ADR, 0x00160000) Method (_EJ0, 1) { PCEJ (0x16) } }
			Device (S17) { Name (_SUN, 0x17) Name (_ADR, 0x00170000) Method (_EJ0, 1) { PCEJ (0x17) } }
			Device (S18) { Name (_SUN, 0x18) Name (_ADR, 0x00180000) Method (_EJ0, 1) { PCEJ (0x18) } }
			Device (S19) { Name (_SUN, 0x19) Name (_ADR, 0x00190000) Method (_EJ0, 1) { PCEJ (0x19) } }
			Device (S1A) { Name (_SUN, 0x1A) Name (_ADR, 0x001A0000) Method (_EJ0, 1) { PCEJ (0x1A) } }
			Device (S1B) { Name (_SUN, 0x1B) Name (_ADR, 0x001B0000) Method (_EJ0, 1) { PCEJ (0x1B) } }
			Device (S1C) { Name (_SUN, 0x1C) Name (_ADR, 0x001C0000) Method (_EJ0, 1) { PCEJ (0x1C) } }
			Device (S1D) { Name (_SUN, 0x1D) Name (_ADR, 0x001D0000) Method (_EJ0, 1) { PCEJ (0x1D) } }
			Device (S1E) { Name (_SUN, 0x1E) Name (_ADR, 0x001E0000) Method (_EJ0, 1) { PCEJ (0x1E) } }

			Device (ISA)
			{
				Name (_ADR, 0x001F0000)

				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0070, 0x0070, 0x01, 0x08)
						IRQNoFlags () { 8 }
					})
				}

				Device (TMR)
				{
					Name (_HID, EisaId ("PNP0100"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0040, 0x0040, 0x01, 0x04)
						IRQNoFlags () { 0 }
					})
				}

				Device (PIC)
				{
					Name (_HID, EisaId ("PNP0000"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0020, 0x0020, 0x01, 0x02)
						IO (Decode16, 0x00A0, 0x00A0, 0x01, 0x02)
						IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02)
						IRQNoFlags () { 2 }
					})
				}

				Device (KBD)
				{
					Name (_HID, EisaId ("PNP0303"))
					Method (_STA, 0, NotSerialized)
					{
						Return (\KSTA)
					}
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
						IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
						IRQNoFlags () { 1 }
					})
				}

				Device (MOU)
				{
					Name (_HID, EisaId ("PNP0F13"))
					Method (_STA, 0, NotSerialized)
					{
						Return (\MSTA)
					}
					Name (_CRS, ResourceTemplate ()
					{
						IRQNoFlags () { 12 }
					})
				}

				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, One)
					Method (_STA, 0, NotSerialized)
					{
						Return (\C1ST)
					}
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
						IRQNoFlags () { 4 }
					})
				}

				Device (COM2)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 0x02)
					Method (_STA, 0, NotSerialized)
					{
						Return (\C2ST)
					}
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x02F8, 0x02F8, 0x01, 0x08)
						IRQNoFlags () { 3 }
					})
				}

				Device (PEVT)
				{
					Name (_HID, "QEMU0001")
					Method (_STA, 0, NotSerialized)
					{
						Return (\VSTA)
					}
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0505, 0x0505, 0x01, 0x01)
					})
				}
			}
		}

		/* What is on no bus, and must not be given to PCI. */
		Device (MRES)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, 0xB0000000, 0x10000000)
				IO (Decode16, 0x0061, 0x0061, 0x01, 0x01)
				IO (Decode16, 0x0080, 0x0080, 0x01, 0x01)
				IO (Decode16, 0x0092, 0x0092, 0x01, 0x01)
				IO (Decode16, 0x0600, 0x0600, 0x01, 0x28)
				IO (Decode16, 0xAE00, 0xAE00, 0x01, 0x14)
			})
		}

		Device (HPET)
		{
			Name (_HID, EisaId ("PNP0103"))
			Name (_UID, Zero)
			Method (_STA, 0, NotSerialized)
			{
				Return (\HSTA)
			}
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400)
			})
		}

		Device (FWCF)
		{
			Name (_HID, "QEMU0002")
			Method (_STA, 0, NotSerialized)
			{
				Return (\FSTA)
			}
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0510, 0x0510, 0x01, 0x0C)
			})
		}
	}
}
