/* A stand-in for a driver's library: the probe asks it for its answer. */
int tundra_sample(void);

int tundra_sample(void)
{
	return 42;
}
