{{/* The name of all objects; those of the whole cluster have it too. */}}
{{- define "farnode.name" -}}
{{- if .Values.nameOverride -}}
{{ .Values.nameOverride }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "farnode.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "farnode.labels" -}}
{{ include "farnode.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "farnode.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The process' service account, as a role binding's subject. */}}
{{- define "farnode.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "farnode.name" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* The highest port of the kubelet API: each virtual node has one. */}}
{{- define "farnode.lastPort" -}}
{{ sub (add .Values.kubelet.port (len .Values.nodes)) 1 }}
{{- end -}}

{{- define "farnode.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "farnode.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* node.yaml: `nodes` as in the values, but a token's Secret and an authority's ConfigMap are files here. */}}
{{- define "farnode.config" -}}
{{- $nodes := list -}}
{{- $names := list -}}
{{- range .Values.nodes -}}
{{- if has .name $names }}{{ fail (printf "nodes: two are named %s" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- $files := printf "/etc/farnode/sites/%s" .name -}}
{{- $site := dict "url" .site.url "tokenFile" (printf "%s/token" $files) -}}
{{- with .site.fingerprint }}{{ $_ := set $site "fingerprint" . }}{{ end -}}
{{- if .site.caConfigMap }}{{ $_ := set $site "caFile" (printf "%s/ca.crt" $files) }}{{ end -}}
{{- $nodes = append $nodes (merge (dict "site" $site) (omit . "site")) -}}
{{- end -}}
{{- $authority := "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt" -}}
{{- if .Values.kubelet.clientCa.configMap }}{{ $authority = "/etc/farnode/sites/client-ca.crt" }}{{ end -}}
kubelet:
  listen: {{ printf "%s:%v" .Values.kubelet.host .Values.kubelet.port | quote }}
  clientCaFile: {{ $authority }}
state: /var/lib/farnode/node
election:
  namespace: {{ .Release.Namespace }}
  name: {{ include "farnode.name" . }}
nodes:
{{ toYaml $nodes | indent 2 }}
{{- end -}}
