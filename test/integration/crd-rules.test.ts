import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { checkObject } from '../../src/job/check-object.ts';
import { withQuantitiesAsText } from '../../src/job/object-spec.ts';
import { type JobSpec, jobSpecSchema } from '../../src/job/spec.ts';
import { specArbitrary } from '../support/arbitrary.ts';
import { type CrdCluster, crdCluster, jobsPath, streamJob, TENANT } from './crd-cluster.ts';

/** What the API server takes as a StreamJob and what it refuses, with the words that a user of kubectl reads. */

const RUNS = 300;
const MISTAKES = 500;
const JOB = { tenant: TENANT, name: 'x' };
/** A rule that ends in an error instead of an answer. */
const STUMBLES = /evaluating rule|no such key|no such overload|internal error/i;
const image = 'registry.example/team/app:1';
const container = (fields: object) => ({ container: { image, ...fields } });
const readiness = (probe: object) => container({ probes: { readiness: probe } });
const egress = (peer: object) => ({ container: { image }, network: { egress: [peer] } });
const resources = (fields: object) => ({ container: { image }, workers: { resources: fields } });
const env = (...entries: object[]) => container({ env: entries });
const metrics = { name: 'metrics', port: 8080 };

const refused: [reason: string, spec: unknown, says: RegExp][] = [
  ['no spec', undefined, /spec: Required value/],
  ['no engine', {}, /spec: .*expected an engine: add container, the only one that is there yet/],
  ['no image', { container: {} }, /spec\.container\.image: Required value/],
  [
    'an image that is none',
    { container: { image: 'Not An Image' } },
    /spec\.container\.image: .*expected an image such as/,
  ],
  ['a user that is root', container({ runAsUser: 0 }), /spec\.container\.runAsUser: .*greater than or equal to 1/],
  [
    'more workers than there can be',
    { container: { image }, workers: { replicas: 1001 } },
    /replicas: .*less than or equal to 1000/,
  ],
  ['less than none', { container: { image }, workers: { replicas: -1 } }, /replicas: .*greater than or equal to 0/],
  ['half a worker', { container: { image }, workers: { replicas: 0.5 } }, /replicas: .*integer/],
  [
    'a tier that is not there',
    { container: { image }, isolation: { tier: 'node' } },
    /isolation\.tier: Unsupported value: "node"/,
  ],
  ['NUL in a text', env({ name: 'A', value: 'a\0b' }), /env\[0\]\.value: .*should match/],
  [
    'a variable with two values',
    env({ name: 'A', value: '1', secretKeyRef: { name: 's', key: 'k' } }),
    /env\[0\]: .*expected exactly one of value, secretKeyRef/,
  ],
  ['a variable without a value', env({ name: 'A' }), /env\[0\]: .*expected exactly one of value, secretKeyRef/],
  ['a variable with a digit first', env({ name: '1A', value: '' }), /env\[0\]\.name: .*expected letters, digits/],
  ['a variable twice', env({ name: 'A', value: '1' }, { name: 'A', value: '2' }), /env\[1\]: Duplicate value/],
  ['a number as the value of a variable', env({ name: 'A', value: 1 }), /env\[0\]\.value: .*must be of type string/],
  [
    'a Secret of a name that none has',
    env({ name: 'A', secretKeyRef: { name: 'S', key: 'k' } }),
    /secretKeyRef\.name: .*expected the name of a Secret/,
  ],
  [
    'a key that leads upwards',
    env({ name: 'A', secretKeyRef: { name: 's', key: '..data' } }),
    /secretKeyRef\.key: .*expected a key of the Secret/,
  ],
  ['a port name twice', container({ ports: [metrics, { ...metrics, port: 1 }] }), /ports\[1\]: Duplicate value/],
  [
    'a port number twice',
    container({ ports: [metrics, { ...metrics, name: 'b', protocol: 'TCP' }] }),
    /container\.ports: .*expected every port number once/,
  ],
  [
    'a port name with two hyphens',
    container({ ports: [{ name: 'a--b', port: 1 }] }),
    /ports\[0\]\.name: .*no two - in a row/,
  ],
  [
    'a port beyond the last',
    container({ ports: [{ name: 'a', port: 65536 }] }),
    /ports\[0\]\.port: .*less than or equal to 65535/,
  ],
  [
    'a probe without a handler',
    readiness({ periodSeconds: 1 }),
    /probes\.readiness: .*expected exactly one of httpGet, tcpSocket, exec/,
  ],
  [
    'a probe with two handlers',
    readiness({ tcpSocket: { port: 1 }, exec: { command: ['a'] } }),
    /probes\.readiness: .*expected exactly one of httpGet, tcpSocket, exec/,
  ],
  [
    'a probe of a port that has no such name',
    readiness({ httpGet: { path: '/', port: 'nope' } }),
    /probes\.readiness\.httpGet\.port: .*the name of a port in spec\.container\.ports/,
  ],
  [
    'a probe of a port by text that is no name',
    readiness({ tcpSocket: { port: '8080' } }),
    /tcpSocket\.port: .*expected a port number or the name of a port/,
  ],
  ['a probe of port 0', readiness({ tcpSocket: { port: 0 } }), /tcpSocket\.port: .*greater than or equal to 1/],
  [
    'a probe of a path that is none',
    readiness({ httpGet: { path: 'ready', port: 1 } }),
    /httpGet\.path: .*expected a path that begins with \//,
  ],
  [
    'a probe that never waits',
    readiness({ tcpSocket: { port: 1 }, periodSeconds: 0 }),
    /periodSeconds: .*greater than or equal to 1/,
  ],
  [
    'a peer of both kinds',
    egress({ cidr: '10.0.0.0/8', job: 'a' }),
    /egress\[0\]: .*expected exactly one of cidr, job/,
  ],
  ['a peer of no kind', egress({}), /egress\[0\]: .*expected exactly one of cidr, job/],
  ['a range that is none', egress({ cidr: '10.0.0.0' }), /egress\[0\]\.cidr: .*expected an IPv4 range such as/],
  ['a range with zeros in front', egress({ cidr: '010.0.0.0/8' }), /cidr: .*expected an IPv4 range such as/],
  ['a range of IPv6', egress({ cidr: 'fd00::/8' }), /cidr: .*expected an IPv4 range such as/],
  ['a range from the middle', egress({ cidr: '10.1.2.3/16' }), /cidr: .*expected the first address of the range/],
  [
    'addresses where clouds keep credentials',
    egress({ cidr: '169.254.169.254/32' }),
    /cidr: .*expected addresses beyond the node/,
  ],
  ['the node itself', egress({ cidr: '127.0.0.0/8' }), /cidr: .*expected addresses beyond the node/],
  ['a quantity that is none', resources({ limits: { cpu: 'much' } }), /limits\.cpu: .*expected a quantity such as/],
  ['a quantity below nothing', resources({ limits: { memory: -1 } }), /limits\.memory: .*greater than or equal to 0/],
  ['more than can be counted', resources({ limits: { memory: '16Ei' } }), /limits\.memory: .*expected at most/],
  ['a fraction without quotes', resources({ limits: { cpu: 0.5 } }), /limits\.cpu: .*must be of type integer,string/],
  [
    'a request above its limit',
    resources({ requests: { cpu: '1500m' }, limits: { cpu: 1 } }),
    /requests\.cpu: .*expected at most the limit: raise spec\.workers\.resources\.limits\.cpu/,
  ],
  [
    'memory above its limit',
    resources({ requests: { memory: '1Gi' }, limits: { memory: '1G' } }),
    /requests\.memory: .*expected at most the limit/,
  ],
  ['a field that is misspelt', { ...container({}), worker: {} }, /unknown field "spec\.worker"/],
  [
    'a field that no tenant has a say in',
    container({ securityContext: {} }),
    /unknown field "spec\.container\.securityContext"/,
  ],
];

const names: [reason: string, name: string][] = [
  ['a digit first', '1st'],
  ['a dot', 'a.b'],
  ['more than 63 letters', 'a'.repeat(64)],
];

type Loose = { [field: string]: unknown };
type Step = string | number;

/** All places of a value, itself left out. */
function placesOf(value: unknown, path: readonly Step[] = []): Step[][] {
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const at = [...path, Array.isArray(value) ? Number(key) : key];
    return [at, ...placesOf(child, at)];
  });
}

/** What people write by mistake, or to find a way around. `undefined` takes the field away. */
const mistake = fc.constantFrom<unknown>(
  ...[
    undefined,
    '',
    'a',
    'A',
    '1',
    '-1',
    'a--b',
    'a b',
    '..',
    '.a',
    '$(A)',
    'a\0',
    'ü',
    'é'.repeat(300),
    'a'.repeat(70),
  ],
  ...[0, 1, -1, 2, 1.5, 100, 3601, 65536, 1e16, 2 ** 53, true, false, null],
  ...[
    '10.0.0.1/8',
    '127.1.0.0/16',
    '0.0.0.0/0',
    '1.2.3.4',
    '1Gi',
    '1.5',
    '1.0005',
    '0.0001',
    '9E',
    '10E',
    '1e3',
    '+1',
    ' 1',
  ],
  ...[[], {}, [''], [{}], { port: 1 }, { name: 'a' }, { name: 'a', key: 'b' }, { command: [] }, { a: 1 }],
);

/** A spec that is right but for one place, mostly; a second handler, value or peer may be added as well. */
const mistaken: fc.Arbitrary<unknown> = fc
  .tuple(specArbitrary, fc.nat(), mistake, fc.option(fc.constantFrom('job', 'cidr', 'value', 'exec', 'tcpSocket', 'x')))
  .map(([spec, index, value, added]) => {
    const copy = structuredClone(spec) as unknown as Loose;
    const places = placesOf(copy);
    const path = places[index % places.length] ?? [];
    const last = path.at(-1) ?? 'container';
    const parent = path.slice(0, -1).reduce<Loose>((at, step) => at[step] as Loose, copy);
    if (Array.isArray(parent) && value === undefined) parent.splice(Number(last), 1);
    else if (value === undefined) delete parent[last];
    else parent[added !== null && !Array.isArray(parent) ? added : last] = value;
    return copy;
  });

/** The API server takes a field that is null as one that is left out, and stores none. */
const withoutNulls = (spec: unknown): unknown =>
  JSON.parse(JSON.stringify(spec), (_, value) =>
    value === null || typeof value !== 'object' || Array.isArray(value)
      ? value
      : Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null)),
  );

/** Where the API server must take what the definition refuses: it has no words for it. The operator says it then. */
const UNSAYABLE = /quantity such as/;

/** Strict, as kubectl asks; nothing is kept. */
const query = { dryRun: 'All', fieldValidation: 'Strict' };

describe('what the API server takes as a StreamJob', () => {
  let here: CrdCluster;
  const create = (body: object): Promise<unknown> => here.api.call('POST', jobsPath, { body, query });

  before(async () => {
    here = await crdCluster('crd-rules');
  });
  after(() => here?.[Symbol.asyncDispose]());

  for (const [reason, spec, says] of refused) {
    it(`refuses ${reason}`, async () => {
      assert.ok(!jobSpecSchema.safeParse(spec).success || /limit|fraction/.test(reason), 'the CLI refuses it too');
      await assert.rejects(create(streamJob('x', spec as object)), ({ message }: Error) => {
        assert.match(message, says);
        assert.doesNotMatch(message, STUMBLES, 'no rule of ours stumbles');
        return true;
      });
    });
  }

  for (const [reason, name] of names) {
    it(`refuses a name with ${reason}`, async () => {
      await assert.rejects(create(streamJob(name, { container: { image } })), /metadata\.name: /);
    });
  }

  it('takes one port for two protocols, and a probe of a port by its name', async () => {
    const ports = [metrics, { name: 'metrics-udp', port: 8080, protocol: 'UDP' }];
    await create(
      streamJob('x', container({ ports, probes: { liveness: { httpGet: { path: '/', port: 'metrics' } } } })),
    );
  });

  it('takes a range that contains the node’s own, and every whole number or text as a quantity', async () => {
    await create(streamJob('x', egress({ cidr: '0.0.0.0/0' })));
    await create(
      streamJob('x', resources({ requests: { cpu: '0.5', memory: 1024 }, limits: { cpu: 2, memory: '1.5Gi' } })),
    );
  });

  it(`takes whatever the CLI takes: ${RUNS} random specs, of which none is refused`, async () => {
    await fc.assert(
      fc.asyncProperty(specArbitrary, async (spec: JobSpec) => {
        assert.ok(jobSpecSchema.safeParse(spec).success);
        await create(streamJob('x', withQuantitiesAsText(spec)));
      }),
      { numRuns: RUNS },
    );
  });

  it(`judges as the CLI does: ${MISTAKES} random mistakes`, async () => {
    let refusals = 0;
    await fc.assert(
      fc.asyncProperty(mistaken, async (spec) => {
        const checked = checkObject(JOB, withoutNulls(spec));
        const body = streamJob(
          JOB.name,
          checked.kind === 'spec' ? withQuantitiesAsText(checked.spec) : (spec as object),
        );
        const answer = await create(body).then(
          () => null,
          ({ message }: Error) => message,
        );
        if (checked.kind === 'spec') return assert.equal(answer, null, 'the CLI takes it');
        refusals += 1;
        const said = checked.problems.join('; ');
        assert.ok(answer !== null || UNSAYABLE.test(said), `the CLI refuses it: ${said}`);
        assert.doesNotMatch(answer ?? '', STUMBLES);
      }),
      { numRuns: MISTAKES },
    );
    assert.ok(refusals > MISTAKES / 4, `${refusals} of them were wrong`);
  });
});
