#include "gpu/nvidia/model/nvidia_attributes.h"

#include "gpu/nvidia/model/nvidia_model.h"

#define OWN	 ""
#define STANDARD NVIDIA_STANDARD_DOMAIN
#define EXTRA	 NVIDIA_EXTRA_DOMAIN

const struct nvidia_attribute nvidia_attributes[] = {
	{ OWN, "type", GPU_STRING, false, false, "gpu", "" },
	{ OWN, "uuid", GPU_STRING, false, false, "GPU-...: NVIDIA's identity of the GPU", "" },
	{ OWN, "productName", GPU_STRING, false, false, "such as NVIDIA H100 80GB HBM3", "" },
	{ OWN, "brand", GPU_STRING, false, false, "such as Nvidia, Tesla, GeForceRTX", "" },
	{ OWN, "architecture", GPU_STRING, false, false, "such as Hopper, Blackwell", "" },
	{ OWN, "cudaComputeCapability", GPU_VERSION, false, false, "such as 9.0.0", "" },
	{ OWN, "driverVersion", GPU_VERSION, false, false,
	  "of NVIDIA's driver, as strict semver: 580.65.6", "" },
	{ OWN, "cudaDriverVersion", GPU_VERSION, false, false, "newest CUDA the driver runs",
	  "the driver does not tell" },
	{ OWN, "addressingMode", GPU_STRING, false, false, "None, HMM or ATS",
	  "not supported or not told" },
	{ STANDARD, "pciBusID", GPU_STRING, false, false, "such as 0000:1b:00.0",
	  "the PCI domain has more than four digits" },
	{ STANDARD, "pcieRoot", GPU_STRING, false, false,
	  "the PCIe root complex, such as pci0000:15; for matchAttribute with a NIC",
	  "not below a PCI root" },
	{ STANDARD, "numaNode", GPU_INT, false, false, "NUMA node of the PCI device", "none" },
	{ OWN, "memory", GPU_INT, true, false, "all of the GPU's memory", "not told" },
	{ EXTRA, "nvlinkIsland", GPU_STRING, false, true,
	  "equal for GPUs that reach each other over NVLink: nvswitch, else the lowest PCI address "
	  "among them, lost ones included",
	  "not linked" },
	{ EXTRA, "pcieSwitch", GPU_STRING, false, true,
	  "upstream port of the innermost PCIe switch above the GPU",
	  "directly at the root complex" },
	{ EXTRA, "serial", GPU_STRING, false, true, "the board's serial number", "not told" },
	{ EXTRA, "migCapable", GPU_BOOL, false, true, "knows MIG mode", "" },
	{ EXTRA, "eccEnabled", GPU_BOOL, false, true, "ECC mode that is in force", "no ECC" },
	{ EXTRA, "ccMode", GPU_STRING, false, true,
	  "confidential computing: off, on, devtools, protected-pcie", "not supported" },
};
const size_t nvidia_attributes_n = ARRAY_LEN(nvidia_attributes);
