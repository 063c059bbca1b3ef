import { z } from 'zod';
import { PORT_NAME, port, portReference, protocol, seconds, text } from './spec-values.ts';

/** Engine `container`: any image that runs as a user other than root. Part of the one definition, see spec.ts. */

// Names one image: [registry[:port]/]path[:tag][@sha256:digest], as distribution/reference, without blanks.
const IMAGE =
  /^[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*(:[0-9]+)?(\/[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$/;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
const SECRET_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
// Neither `.` nor what begins with `..`. No look-ahead, which the API server's expressions do not know.
const SECRET_KEY = /^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$/;

const PROBED_PORT = 'Port to try: its number, or its name in spec.container.ports.';

export const PROBE_HANDLERS = ['httpGet', 'tcpSocket', 'exec'] as const;

const probe = z
  .strictObject({
    httpGet: z
      .strictObject({
        path: text(1024)
          .regex(/^\//, 'expected a path that begins with /')
          .describe('Path, and query, to ask for: /healthz.'),
        port: portReference.describe(PROBED_PORT),
      })
      .optional()
      .describe('Asks the worker by HTTP (no TLS): healthy when a GET answers 200 to 399.'),
    tcpSocket: z
      .strictObject({ port: portReference.describe(PROBED_PORT) })
      .optional()
      .describe('Opens a TCP connection to the worker: healthy when it opens.'),
    exec: z
      .strictObject({
        command: z
          .array(text(4096).describe('One word. It is passed on letter by letter.'))
          .min(1, 'expected at least one word')
          .max(64)
          .describe('The program and its arguments, one word an entry. No shell is involved.'),
      })
      .optional()
      .describe('Runs a command in the container: healthy when it exits 0.'),
    initialDelaySeconds: seconds(0)
      .optional()
      .describe('Time from the start of the container to the first try, in seconds. Left out: 0.'),
    periodSeconds: seconds(1).optional().describe('Time from one try to the next, in seconds. Left out: 10.'),
    timeoutSeconds: seconds(1)
      .optional()
      .describe('Time after which a try without an answer has failed, in seconds. Left out: 1.'),
    failureThreshold: z
      .int()
      .min(1)
      .max(1000)
      .optional()
      .describe('How many tries must fail in a row before the worker counts as unhealthy. Left out: 3.'),
  })
  .refine((p) => PROBE_HANDLERS.filter((h) => p[h] !== undefined).length === 1, {
    error: 'expected exactly one of httpGet, tcpSocket, exec',
  });

const envVar = z
  .strictObject({
    name: text(256)
      .regex(ENV_NAME, 'expected letters, digits, _ . - and no digit first')
      .describe('Name of the variable. No two of a job have the same.'),
    value: text(32_768)
      .optional()
      .describe(
        'The value, as text: quote numbers and true/false. It is passed on letter by letter; nothing in it, such as $(NAME), is expanded. Give either this or secretKeyRef.',
      ),
    secretKeyRef: z
      .strictObject({
        name: text(253).regex(SECRET_NAME, 'expected the name of a Secret').describe('Name of the Secret.'),
        key: text(253)
          .regex(SECRET_KEY, 'expected a key of the Secret')
          .describe('Key of the Secret; what it holds becomes the value.'),
      })
      .optional()
      .describe(
        "Takes the value from a Secret in the namespace of the job's cell (status.cell). Bulkhead names it and never reads it; while it is missing the job is Degraded, and its status has the command that makes it. Give either this or value.",
      ),
  })
  .refine((e) => (e.value !== undefined) !== (e.secretKeyRef !== undefined), {
    error: 'expected exactly one of value, secretKeyRef',
  });

const containerPort = z.strictObject({
  name: text(15)
    .regex(PORT_NAME, 'expected at most 15 of a-z, 0-9 and -, a letter first, no two - in a row')
    .describe('Name of the port, which probes may use. No two of a job have the same.'),
  port: port.describe('Number of the port that the process listens on, 1 to 65535; the Service uses the same.'),
  protocol: protocol.optional(),
});

/** Indexes of the values that an earlier entry has. */
const repeated = (values: readonly string[]): number[] =>
  values.flatMap((value, index) => (values.indexOf(value) < index ? [index] : []));

export const container = z
  .strictObject({
    image: text(512)
      .regex(IMAGE, 'expected an image such as registry.example/team/app:1.2')
      .describe(
        'Image of the workers, as in `docker pull`: [registry/]path[:tag][@sha256:digest]. It must run as a user other than root.',
      ),
    command: z
      .array(text(4096).describe('One word. It is passed on letter by letter.'))
      .max(64)
      .optional()
      .describe(
        "The program and its first arguments, one word an entry, instead of the image's entrypoint. No shell is involved. Left out or empty: the image's own.",
      ),
    args: z
      .array(text(131_072).describe('One argument. It is passed on letter by letter.'))
      .max(256)
      .optional()
      .describe(
        "Arguments, one an entry, instead of the image's. No shell is involved. Left out or empty: the image's own.",
      ),
    env: z
      .array(envVar.describe('One variable: its name, and either value or secretKeyRef.'))
      .max(256)
      .optional()
      .describe(
        'Environment variables of the workers, known by their names. Left out: none beyond those of the image.',
      ),
    ports: z
      .array(containerPort.describe('One port.'))
      .max(32)
      .optional()
      .describe(
        'Ports that the workers listen on, known by their names; a Service is made of them. They are closed to others until spec.network.ingress names these. Left out: none, and no Service.',
      ),
    probes: z
      .strictObject({
        readiness: probe
          .optional()
          .describe(
            'Whether a worker can take work: until it can, it gets no traffic and the job is not Ready. Left out: it can as soon as it runs.',
          ),
        liveness: probe
          .optional()
          .describe(
            'Whether a worker still works: one that does not is restarted. Left out: only when it ends by itself.',
          ),
        startup: probe
          .optional()
          .describe(
            'Whether a worker has started: the other probes wait for it, and one that does not start is restarted. Left out: the others begin at once.',
          ),
      })
      .optional()
      .describe('Health checks of the workers. Left out: a worker that runs is healthy.'),
    runAsUser: z
      .int({ error: 'expected a user id from 1 on; root (0) is not allowed' })
      .min(1, 'expected a user id from 1 on; root (0) is not allowed')
      .max(2_147_483_647, 'expected at most 2147483647')
      .optional()
      .describe('User id, and group id, that the processes run as: 1 to 2147483647, never root (0).'),
  })
  .superRefine((c, ctx) => {
    for (const list of ['env', 'ports'] as const) {
      for (const index of repeated((c[list] ?? []).map((entry) => entry.name))) {
        ctx.addIssue({ code: 'custom', path: [list, index, 'name'], message: 'expected a name that is used once' });
      }
    }
    // A Service refuses two ports of one number and protocol, whatever they are called.
    for (const index of repeated((c.ports ?? []).map((p) => `${p.port}/${p.protocol ?? 'TCP'}`))) {
      ctx.addIssue({ code: 'custom', path: ['ports', index, 'port'], message: 'expected a port that is named once' });
    }
    const names = new Set((c.ports ?? []).map((p) => p.name));
    for (const kind of ['readiness', 'liveness', 'startup'] as const) {
      for (const handler of ['httpGet', 'tcpSocket'] as const) {
        const wanted = c.probes?.[kind]?.[handler]?.port;
        if (typeof wanted !== 'string' || names.has(wanted)) continue;
        const known =
          names.size > 0 ? `one of ${[...names].join(', ')}` : 'a number, since spec.container.ports is empty';
        ctx.addIssue({ code: 'custom', path: ['probes', kind, handler, 'port'], message: `expected ${known}` });
      }
    }
  });

export type ProbeSpec = z.infer<typeof probe>;
