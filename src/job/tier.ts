/** How isolated a cell is: a namespace of its own, or a place among the tenant's other jobs in the tenant's namespace. */
export const TIERS = ['namespace', 'shared'] as const;
export type Tier = (typeof TIERS)[number];
