import type { JobSpec } from '../../src/job/spec.ts';
import type { Tier } from '../../src/job/tier.ts';

export const PORT = 8080;

export interface NetworkJob {
  readonly tenant: string;
  readonly tier: Tier;
  readonly network: NonNullable<JobSpec['network']>;
}

export type JobId = 'server' | 'neighbour' | 'beside' | 'client' | 'lone' | 'uninvited' | 'stranger' | 'wide';

/** The jobs whose workers talk, or try to. `machine` may be reached by `client`, on this one port. */
export function networkJobs(machine: { readonly address: string; readonly port: number }): Record<JobId, NetworkJob> {
  const own = { tenant: 'ads', tier: 'namespace', network: {} } as const;
  const onlyPort = [{ port: PORT }];
  return {
    server: { ...own, network: { ingress: [{ job: 'client', ports: onlyPort }] } },
    /** In the tenant's own namespace, where `beside` is too. */
    neighbour: { ...own, tier: 'shared', network: { ingress: [{ job: 'client' }] } },
    beside: { ...own, tier: 'shared' },
    client: {
      ...own,
      network: {
        egress: [
          { job: 'server', ports: onlyPort },
          { job: 'neighbour' },
          { cidr: `${machine.address}/32`, ports: [{ port: machine.port }] },
        ],
      },
    },
    /** What a spec gets that says nothing of the network. */
    lone: own,
    /** Names a job that does not name it. */
    uninvited: { ...own, network: { egress: [{ job: 'server' }] } },
    /** Another tenant's, which names jobs as if they were its own. */
    stranger: { ...own, tenant: 'rival', network: { egress: [{ job: 'server' }, { job: 'lone' }] } },
    /** The widest spec there can be. */
    wide: { ...own, network: { egress: [{ cidr: '0.0.0.0/0' }] } },
  };
}

/** A job whose worker is the probe: it answers on its port, and others may run the probe in it. */
export const probeSpec = (image: string, { tier, network }: NetworkJob): JobSpec => ({
  container: {
    image,
    args: ['listen', String(PORT)],
    ports: [{ name: 'http', port: PORT }],
    probes: { readiness: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 } },
  },
  workers: { replicas: 1, resources: { requests: { cpu: '10m', memory: '16Mi' } } },
  isolation: { tier },
  network,
});
