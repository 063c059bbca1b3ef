import { z } from 'zod';
import { rangeContains, startsRange } from './ipv4.ts';
import { container } from './spec-container.ts';
import { DNS_LABEL, DNS_LABEL_LETTER_FIRST, port, protocol, quantity, text } from './spec-values.ts';
import { TIERS } from './tier.ts';

export { PROBE_HANDLERS, type ProbeSpec } from './spec-container.ts';

/**
 * What a stream job is. This is the one definition: TypeScript types, validation and the published schema are derived
 * from it. It puts no defaults into what people wrote: defaults belong to a layer below (defaults.ts), so that a
 * platform can change them later. It is an allow-list: what is not named here, a tenant cannot say.
 *
 * Every message says what was expected; where it was found and what was found is added by document.ts. Every field has
 * a description, which `kubectl explain` shows: what it means, its unit, and what happens when it is left out. What
 * Bulkhead's own defaults say is added to it from defaults.ts by crd/.
 */
export const API_VERSION = 'bulkhead.dev/v1alpha1';
export const KIND = 'StreamJob';

// No zero in front, as in Go's netip: 010 is eight to some readers and ten to others.
const IPV4_CIDR = /^(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}\/(3[0-2]|[12]?\d)$/;

const resourceList = z.strictObject({
  cpu: quantity
    .optional()
    .describe('Processor time, in cores: 2 is two cores, 500m (thousandths) and "0.5" are half a core.'),
  memory: quantity
    .optional()
    .describe(
      'Memory, in bytes, with k, M, G … for powers of 1000 or Ki, Mi, Gi … for powers of 1024: 256Mi, "1.5Gi".',
    ),
});

const networkPort = z.strictObject({
  port: port.describe('Number of the port, 1 to 65535.'),
  protocol: protocol.optional(),
});

/** Ranges that are a node's own business: its loopback, and link-local, where clouds keep a node's credentials. */
export const NODE_RANGES = ['127.0.0.0/8', '169.254.0.0/16'];

const peer = z
  .strictObject({
    cidr: text(18)
      .regex(IPV4_CIDR, 'expected an IPv4 range such as 10.1.0.0/16')
      // The API server warns of ranges whose address lies in the middle, and later versions refuse them.
      .refine(startsRange, 'expected the first address of the range: 10.1.0.0/16, not 10.1.2.3/16')
      .refine((cidr) => !NODE_RANGES.some((range) => rangeContains(range, cidr)), 'expected addresses beyond the node')
      .optional()
      .describe(
        "Addresses outside of the cluster, as an IPv4 range: 10.1.0.0/16, or 192.0.2.7/32 for one address. A node's own ranges, 127.0.0.0/8 and 169.254.0.0/16, are refused. Give either this or job.",
      ),
    job: text(63)
      .regex(DNS_LABEL_LETTER_FIRST, 'expected the name of a job')
      .optional()
      .describe('Name of another job of the same tenant: its workers. Give either this or cidr.'),
    ports: z
      .array(networkPort.describe('One port.'))
      .max(64)
      .optional()
      .describe('The ports that are open between the two. Left out or empty: all of them.'),
  })
  .refine((p) => (p.cidr !== undefined) !== (p.job !== undefined), { error: 'expected exactly one of cidr, job' });

/** What can run in a cell: fields of a job's spec, of which it has exactly one. */
export const ENGINES = ['container'] as const;

export const jobSpecSchema = z.strictObject({
  container: container.describe(
    'Engine `container`: the workers run any image that runs as a user other than root. A job has exactly one engine.',
  ),
  workers: z
    .strictObject({
      replicas: z
        .int({ error: 'expected a whole number from 0 to 1000' })
        .min(0, 'expected a whole number from 0 to 1000')
        .max(1000, 'expected a whole number from 0 to 1000')
        .optional()
        .describe('How many workers run, 0 to 1000. `kubectl scale` sets it.'),
      resources: z
        .strictObject({
          requests: resourceList
            .optional()
            .describe('What each worker is sure to get, and nodes are chosen by. Never more than its limits.'),
          limits: resourceList
            .optional()
            .describe('What each worker may use at the most: beyond it, it is held back (cpu) or ended (memory).'),
        })
        .optional()
        .describe('Processor time and memory of each worker.'),
    })
    .optional()
    .describe('The processes that do the work: how many, and how large. All of them are alike.'),
  network: z
    .strictObject({
      egress: z
        .array(peer.describe('Whom the workers may reach: either cidr or job, and on which ports.'))
        .max(64)
        .optional()
        .describe('What the workers may reach. Left out or empty: nothing but DNS.'),
      ingress: z
        .array(peer.describe('Who may reach the workers: either cidr or job, and on which ports.'))
        .max(64)
        .optional()
        .describe('Who may reach the workers. Left out or empty: nobody.'),
    })
    .optional()
    .describe(
      'Whom the workers may talk to. What is not named here can neither be reached nor reach the workers; only DNS is always open.',
    ),
  isolation: z
    .strictObject({
      tier: z
        .enum(TIERS, { error: 'expected namespace or shared (node will follow)' })
        .optional()
        .describe(
          'Which walls stand around the cell. `namespace` gives it a namespace of its own, with a quota, Pod Security ' +
            'enforced, and Secrets that no other job can name; it costs seven or eight objects and one of the cluster’s ' +
            'namespaces. `shared` puts it into the namespace that is named like the tenant, among the tenant’s other jobs: ' +
            'four or five objects, its own service account, network policy and limits, but the Secrets and the quota of ' +
            'that namespace are everybody’s there. Changing the tier moves the job: new workers come up beside the old ' +
            'ones, which go when the new ones are ready.',
        ),
    })
    .optional()
    .describe('How well the job is kept apart from others, and them from it.'),
  suspended: z
    .boolean({ error: 'expected true or false' })
    .optional()
    .describe(
      'Whether the workers are stopped: true stops all of them and keeps everything else, so that false starts them again. Left out: false.',
    ),
});

export const streamJobSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION, { error: `expected ${API_VERSION}` }),
  kind: z.literal(KIND, { error: `expected ${KIND}` }),
  metadata: z
    .strictObject({
      name: text(63)
        .regex(DNS_LABEL_LETTER_FIRST, 'expected at most 63 of a-z, 0-9 and -, a letter first, no - at the end')
        .describe('Name of the job, unique within its tenant.'),
      namespace: text(63)
        .regex(DNS_LABEL, 'expected at most 63 of a-z, 0-9 and -, no - at either end')
        .describe('The tenant that the job belongs to.'),
    })
    .describe('Who the job is.'),
  spec: jobSpecSchema.describe(
    'What the job should be. What it leaves out is decided by platform.defaults, then by Bulkhead.',
  ),
});

/** What people wrote for a job: no defaults in it. */
export type JobSpec = z.infer<typeof jobSpecSchema>;
export type StreamJob = z.infer<typeof streamJobSchema>;
export type PeerSpec = z.infer<typeof peer>;
