# syntax=docker/dockerfile:1
# One image for every role (EVO_ROLE=api, worker, runner or all). It holds no secret: all of them come from the environment of the container.
# The version is that of package.json's engines; tests/deployment.test.ts holds the two together.
FROM oven/bun:1.4.5-slim AS base
WORKDIR /app

FROM base AS dependencies
COPY package.json bun.lock ./
# `patchedDependencies` are applied by the install.
COPY db/patches db/patches
# Types and source maps are for development; they come as peers and inside packages.
RUN bun install --production --frozen-lockfile --ignore-scripts \
  && cd node_modules \
  && rm -rf .cache typescript @typescript @types bun-types undici-types \
  && find . -name '*.map' -delete

FROM base
ENV NODE_ENV=production
COPY --from=dependencies /app/node_modules node_modules
COPY . .
USER bun
EXPOSE 8000
# The supervisor is process 1: it takes SIGTERM itself, drains within SHUTDOWN_GRACE_SECONDS, and leaves no child behind, so no init is needed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["bun", "src/processes/health-check.ts"]
CMD ["bun", "src/main.ts"]
