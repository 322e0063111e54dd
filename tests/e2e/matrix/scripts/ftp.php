<?php
// PHP's ftp extension: explicit TLS only; it resumes the control connection's session by itself.
set_error_handler(function ($number, $text) { throw new Exception($text); });
$env = getenv();
$ftp = ftp_ssl_connect($env['FTP_HOST'], (int) $env['FTP_PORT'], 30);
ftp_login($ftp, $env['FTP_USER'], $env['FTP_PASSWORD']);
ftp_pasv($ftp, $env['FTP_DATA'] === 'passive');
foreach (file('job.tsv', FILE_IGNORE_NEW_LINES) as $line) {
    $words = explode("\t", $line);
    [$a, $b] = [$words[1] ?? '', $words[2] ?? ''];
    $good = match ($words[0]) {
        'mkdir' => ftp_mkdir($ftp, $a),
        'put' => ftp_put($ftp, $b, $a, FTP_BINARY),
        'get' => ftp_get($ftp, $b, $a, FTP_BINARY),
        'reput' => ftp_put($ftp, $b, $a, FTP_BINARY, FTP_AUTORESUME),
        'reget' => ftp_get($ftp, $b, $a, FTP_BINARY, FTP_AUTORESUME),
        'list' => print(implode("\n", ftp_rawlist($ftp, '.')) . "\n"),
        'nlst' => print(implode("\n", ftp_nlist($ftp, '')) . "\n"),
        'mlsd' => print(implode("\n", array_column(
            array_filter(ftp_mlsd($ftp, ''), fn ($entry) => in_array($entry['type'], ['file', 'dir'])),
            'name',
        )) . "\n"),
        'size' => print(ftp_size($ftp, $a)),
        'time' => print(ftp_mdtm($ftp, $a)),
        'rename' => ftp_rename($ftp, $a, $b),
        'delete' => ftp_delete($ftp, $a),
    };
    if ($good === false) {
        exit(1);
    }
}
ftp_close($ftp);
