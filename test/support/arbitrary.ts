import fc from 'fast-check';
import type { JobSpec } from '../../src/job/spec.ts';

/** Random job specs that the schema takes and whose requests stay below their limits. */

const label = fc.stringMatching(/^[a-z]([-a-z0-9]{0,20}[a-z0-9])?$/);
const portName = fc.stringMatching(/^[a-z]([-a-z0-9]{0,10}[a-z0-9])?$/).filter((name) => !name.includes('--'));
const image = fc.constantFrom(
  'registry.example/app:1',
  'app',
  'registry.example:5000/team/app@sha256:'.concat('a'.repeat(64)),
);
const text = fc
  .oneof(fc.string({ maxLength: 30 }), fc.constantFrom('$(HOME)', '$$', '$(', 'a\nb', '--flag=1'))
  .map((s) => s.replaceAll('\0', ''));
const port = fc.integer({ min: 1, max: 65535 });
const protocol = fc.constantFrom('TCP', 'UDP', 'SCTP');

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

/** Leaves out fields that are undefined, as YAML does. */
const record = <T extends Record<string, fc.Arbitrary<unknown>>>(fields: T) =>
  fc.record(fields).map((r) => Object.fromEntries(Object.entries(r).filter(([, v]) => v !== undefined)));

const probe = fc.oneof(
  record({
    httpGet: record({ path: fc.constant('/ready'), port }),
    periodSeconds: optional(fc.integer({ min: 1, max: 60 })),
  }),
  record({ tcpSocket: record({ port }), initialDelaySeconds: optional(fc.integer({ min: 0, max: 60 })) }),
  record({ exec: record({ command: fc.array(text, { minLength: 1, maxLength: 3 }) }) }),
);

const peer = fc.oneof(
  record({
    cidr: fc.constantFrom('10.0.0.0/8', '192.168.1.0/24'),
    ports: optional(fc.array(record({ port, protocol: optional(protocol) }), { maxLength: 2 })),
  }),
  record({ job: label, ports: optional(fc.array(record({ port }), { maxLength: 2 })) }),
);

const env = fc.uniqueArray(
  fc.oneof(
    record({ name: fc.stringMatching(/^[A-Z_]{1,10}$/), value: text }),
    record({ name: fc.stringMatching(/^[A-Z_]{1,10}$/), secretKeyRef: record({ name: label, key: label }) }),
  ),
  { maxLength: 4, selector: (e) => (e as { name: string }).name },
);

export const specArbitrary: fc.Arbitrary<JobSpec> = record({
  container: record({
    image,
    command: optional(fc.array(text, { maxLength: 3 })),
    args: optional(fc.array(text, { maxLength: 3 })),
    env: optional(env),
    ports: optional(
      fc.uniqueArray(record({ name: portName, port, protocol: optional(protocol) }), {
        maxLength: 3,
        // A Service refuses two ports of one name, and two of one number.
        comparator: (a, b) => a.name === b.name || a.port === b.port,
      }),
    ),
    probes: optional(record({ readiness: optional(probe), liveness: optional(probe), startup: optional(probe) })),
    runAsUser: optional(fc.integer({ min: 1, max: 70000 })),
  }),
  workers: optional(
    record({
      replicas: optional(fc.integer({ min: 0, max: 5 })),
      resources: optional(
        record({
          requests: optional(
            record({ cpu: fc.constantFrom('50m', 0.1, '0.25'), memory: fc.constantFrom('32Mi', '64Mi', '0.1Gi') }),
          ),
          limits: optional(
            record({ cpu: fc.constantFrom(1, '2', '1500m'), memory: fc.constantFrom('128Mi', '1Gi', '1.5Gi') }),
          ),
        }),
      ),
    }),
  ),
  network: optional(
    record({ egress: optional(fc.array(peer, { maxLength: 3 })), ingress: optional(fc.array(peer, { maxLength: 3 })) }),
  ),
  isolation: optional(record({ tier: optional(fc.constantFrom('namespace', 'shared')) })),
  suspended: optional(fc.boolean()),
}) as fc.Arbitrary<JobSpec>;
