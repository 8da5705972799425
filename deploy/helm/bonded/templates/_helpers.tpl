{{- define "bonded.name" -}}
{{- if contains "bonded" .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-bonded" .Release.Name | trunc 53 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "bonded.selector" -}}
app.kubernetes.io/name: bonded
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bonded.labels" -}}
{{ include "bonded.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* "true" when the port named registry speaks TLS. */}}
{{- define "bonded.tls" -}}
{{- $mode := dig "tls" "mode" "off" .Values.config }}
{{- if and (or .Values.tlsSecret (ne (toString $mode) "off")) (not (dig "tls" "listen" "" .Values.config)) }}true{{ end }}
{{- end }}

{{- /* The configuration as TOML; what the chart itself decides wins. */}}
{{- define "bonded.config" -}}
{{- $own := dict "server" (dict "listen" ":5000" "data_dir" "/data") "metrics" (dict "listen" ":9090") }}
{{- if .Values.tlsSecret }}
{{- $_ := set $own "tls" (dict "mode" "files" "cert_file" "/tls/tls.crt" "key_file" "/tls/tls.key") }}
{{- end }}
{{- if and .Values.ingress.enabled .Values.ingress.host }}
{{- $scheme := ternary "https" "http" (ne .Values.ingress.tlsSecret "") }}
{{- $server := get $own "server" }}
{{- if not (dig "server" "external_url" "" .Values.config) }}
{{- $_ := set $server "external_url" (printf "%s://%s" $scheme .Values.ingress.host) }}
{{- end }}
{{- if not (dig "server" "trusted_proxies" "" .Values.config) }}
{{- if not .Values.ingress.trustedProxies }}
{{- fail "ingress.trustedProxies is needed: the networks of the ingress controller's pods, such as [10.244.0.0/16]; without them all clients have the controller's address" }}
{{- end }}
{{- $_ := set $server "trusted_proxies" .Values.ingress.trustedProxies }}
{{- end }}
{{- end }}
{{- include "bonded.toml" (dict "path" "" "table" (mustMergeOverwrite (deepCopy .Values.config) $own)) }}
{{- end }}

{{- /* A table as TOML. Not toToml: it writes the whole numbers of a values file as 4.0 and 1e+06. */}}
{{- define "bonded.toml" -}}
{{- $path := .path }}
{{- range $key, $value := .table }}
{{- if not (kindIs "map" $value) }}
{{- $text := toJson $value }}
{{- if and (kindIs "float64" $value) (eq (float64 (int64 $value)) $value) }}{{ $text = int64 $value | toString }}{{ end }}
{{ $key }} = {{ $text }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $below := empty $path | ternary $key (printf "%s.%s" $path $key) }}
[{{ $below }}]
{{- include "bonded.toml" (dict "path" $below "table" $value) }}
{{ end }}
{{- end }}
{{- end }}
